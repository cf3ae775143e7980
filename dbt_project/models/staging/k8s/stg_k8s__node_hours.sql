with

source as (

    select * from {{ source('raw', 'node_hours') }}

),

renamed as (

    select
        billing_month,
        instance_id,
        usage_hour,
        cluster_name,
        node_name,
        instance_type,
        labels,
        sharing_labels
    from source

)

select * from renamed
