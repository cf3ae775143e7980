with

source as (

    select * from {{ source('raw', 'inventory_gaps') }}

),

renamed as (

    select
        billing_month,
        source,
        cluster_name,
        instance_id,
        gap_start as gap_started_at,
        gap_end as gap_ended_at,
        subject,
        consequence
    from source

)

select * from renamed
