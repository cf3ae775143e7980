with

source as (

    select * from {{ source('raw', 'ownership') }}

),

renamed as (

    select
        billing_month,
        priority,
        match_kind,
        cluster_name_like,
        namespace_like,
        workload_type,
        workload_name_like,
        pod_label,
        pod_label_value_like,
        node_pool_like,
        effective_from,
        effective_to,
        label,
        value
    from source

)

select * from renamed
