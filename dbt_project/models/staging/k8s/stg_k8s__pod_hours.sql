with

source as (

    select * from {{ source('raw', 'pod_hours') }}

),

renamed as (

    select
        billing_month,
        instance_id,
        usage_hour,
        pod_uid,
        cluster_name,
        node_name,
        namespace,
        pod_name,
        workload_type,
        workload_name,
        deployment,
        labels,
        bound_seconds,
        vcpu_requested,
        vcpu_used,
        memory_requested_gib,
        memory_used_gib,
        accelerators_requested,
        accelerators_used
    from source

)

select * from renamed
