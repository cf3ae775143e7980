with

pod_hours as (

    select * from {{ ref('stg_k8s__pod_hours') }}

),

node_hours as (

    select * from {{ ref('int_node_hours') }}

),

equivalents as (

    select * from {{ source('split', 'accelerator_equivalents') }}

),

-- Seconds bound / 3600: a pod that still pulls its image holds its devices already.
timed as (

    select
        pod_hours.*,
        pod_hours.bound_seconds / 3600.0::double as bound_hours,
        node_hours.instance_id is not null as is_billed,
        case
            when pod_hours.accelerators_requested = '{}' then 0
            else equivalents.devices
        end as devices_requested
    from pod_hours
    left join node_hours
        on
            pod_hours.billing_month = node_hours.billing_month
            and pod_hours.instance_id = node_hours.instance_id
            and pod_hours.usage_hour = node_hours.usage_hour
    left join equivalents
        on
            pod_hours.billing_month = equivalents.billing_month
            and node_hours.instance_type = equivalents.instance_type
            and node_hours.sharing_labels = equivalents.sharing_labels
            and pod_hours.accelerators_requested = equivalents.accelerators_requested

),

final as (

    select
        billing_month,
        instance_id,
        usage_hour,
        pod_uid,
        cluster_name,
        namespace,
        pod_name,
        is_billed,
        bound_hours,
        {% for resource, requested, used in [
            ('accelerator', 'devices_requested', 'accelerators_used'),
            ('vcpu', 'vcpu_requested', 'vcpu_used'),
            ('memory', 'memory_requested_gib', 'memory_used_gib'),
        ] -%}
        {{ requested }} * bound_hours as {{ resource }}_reserved_hours,
        {{ used }} * bound_hours as {{ resource }}_used_hours,
        -- The larger of both; what was not measured counts as reserved.
        greatest({{ requested }}, coalesce({{ used }}, {{ requested }})) * bound_hours
            as {{ resource }}_allocated_hours{{ ',' if not loop.last }}
        {% endfor %}
    from timed

)

select * from final
